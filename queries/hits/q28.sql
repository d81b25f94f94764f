-- As many groups as rows.
SELECT watch_id, client_ip, count(*) AS hits, sum(is_refresh), avg(resolution_width)
FROM 'testdata/hits'
GROUP BY watch_id, client_ip
ORDER BY hits DESC, watch_id LIMIT 10;
