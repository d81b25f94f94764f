-- Sum by one key of few values.
SELECT id1, sum(v1) AS v1
FROM 'testdata/h2o/*.csv' AS t
GROUP BY id1;
