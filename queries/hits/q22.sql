-- The first phrases in time.
SELECT search_phrase
FROM 'testdata/hits'
WHERE search_phrase <> ''
ORDER BY event_time, watch_id LIMIT 10;
