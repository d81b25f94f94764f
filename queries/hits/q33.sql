-- The same by titles.
SELECT title, count(*) AS views
FROM 'testdata/hits'
WHERE counter_id = 1 AND event_date >= DATE '2013-07-02' AND is_refresh = 0 AND title <> ''
GROUP BY title
ORDER BY views DESC, title LIMIT 10;
