-- Means by a small whole number.
SELECT id4, avg(v1) AS v1, avg(v2) AS v2, avg(v3) AS v3
FROM 'testdata/h2o/*.csv' AS t
GROUP BY id4;
