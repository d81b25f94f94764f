-- A mean length, of counters with enough rows.
SELECT counter_id, avg(length(url)) AS mean, count(*) AS hits
FROM 'testdata/hits'
WHERE url <> ''
GROUP BY counter_id HAVING count(*) > 20
ORDER BY mean DESC, counter_id LIMIT 25;
