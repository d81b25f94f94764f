-- Sum by two keys.
SELECT id1, id2, sum(v1) AS v1
FROM 'testdata/h2o/*.csv' AS t
GROUP BY id1, id2;
