-- One counter over some days: folders are left out.
SELECT url, count(*) AS views
FROM 'testdata/hits'
WHERE counter_id = 1 AND event_date BETWEEN DATE '2013-07-02' AND DATE '2013-07-04' AND is_refresh = 0 AND url <> ''
GROUP BY url
ORDER BY views DESC, url LIMIT 10;
