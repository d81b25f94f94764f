-- A key that is computed.
SELECT user_id, date_part('minute', event_time) AS minute, search_phrase, count(*) AS hits
FROM 'testdata/hits'
GROUP BY user_id, minute, search_phrase
ORDER BY hits DESC, user_id, minute, search_phrase LIMIT 10;
