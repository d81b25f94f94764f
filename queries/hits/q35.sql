-- Where visitors came from, with a key that is a case.
SELECT traffic_source, search_engine_id, adv_engine_id, CASE WHEN search_engine_id = 0 AND adv_engine_id = 0 THEN referer ELSE '' END AS source, url AS target, count(*) AS views
FROM 'testdata/hits'
WHERE counter_id = 1 AND is_refresh = 0
GROUP BY traffic_source, search_engine_id, adv_engine_id, source, target
ORDER BY views DESC, traffic_source, search_engine_id, adv_engine_id, source, target LIMIT 10;
