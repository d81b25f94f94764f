-- Range of two columns by a key of many values.
SELECT id3, max(v1) - min(v2) AS range_v1_v2
FROM 'testdata/h2o/*.csv' AS t
GROUP BY id3;
