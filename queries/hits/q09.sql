-- Several aggregates and a distinct count.
SELECT region_id, sum(adv_engine_id), count(*) AS hits, avg(resolution_width), count(DISTINCT user_id)
FROM 'testdata/hits'
GROUP BY region_id
ORDER BY hits DESC, region_id LIMIT 10;
