-- A page of an answer.
SELECT url, count(*) AS views
FROM 'testdata/hits'
WHERE counter_id = 1 AND is_refresh = 0 AND is_link = 0
GROUP BY url
ORDER BY views DESC, url LIMIT 10 OFFSET 5;
