-- Sums by a large whole number.
SELECT id6, sum(v1) AS v1, sum(v2) AS v2, sum(v3) AS v3
FROM 'testdata/h2o/*.csv' AS t
GROUP BY id6;
