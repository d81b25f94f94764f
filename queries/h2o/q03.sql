-- Sum and mean by a key of many values.
SELECT id3, sum(v1) AS v1, avg(v3) AS v3
FROM 'testdata/h2o/*.csv' AS t
GROUP BY id3;
