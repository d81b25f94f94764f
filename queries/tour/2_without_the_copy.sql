-- The same without the file that repeats another, by a pattern on its name.
-- Notice: `filename` is there when it is asked for, and prunes before files are read.
SELECT region_code, sum(tests) AS tests, count(DISTINCT filename) AS days
FROM 'testdata/regions'
WHERE filename NOT LIKE '%latest%'
GROUP BY ALL
ORDER BY region_code;
