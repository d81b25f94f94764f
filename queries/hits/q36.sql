-- Days as a key that is a folder: nothing is exchanged.
SELECT event_date, count(*) AS hits, count(DISTINCT user_id) AS visitors
FROM 'testdata/hits'
GROUP BY event_date
ORDER BY event_date;
