-- Minutes in time.
SELECT date_trunc('hour', event_time) AS hour, count(*) AS views
FROM 'testdata/hits'
WHERE event_date = DATE '2013-07-03' AND is_refresh = 0
GROUP BY hour
ORDER BY hour LIMIT 24;
