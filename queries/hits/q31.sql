-- Four keys, each made of the first.
SELECT region_id, region_id - 1, region_id - 2, region_id - 3, count(*) AS hits
FROM 'testdata/hits'
GROUP BY region_id, region_id - 1, region_id - 2, region_id - 3
ORDER BY hits DESC, region_id LIMIT 10;
