-- Squared correlation by two keys.
SELECT id2, id4, power(corr(v1, v2), 2) AS r2
FROM 'testdata/h2o/*.csv' AS t
GROUP BY id2, id4;
