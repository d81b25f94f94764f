-- Regions by their visitors.
SELECT region_id, count(DISTINCT user_id) AS visitors
FROM 'testdata/hits'
GROUP BY region_id
ORDER BY visitors DESC, region_id LIMIT 10;
