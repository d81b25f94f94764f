-- Phrases by those who searched for them.
SELECT search_phrase, count(DISTINCT user_id) AS visitors
FROM 'testdata/hits'
WHERE search_phrase <> ''
GROUP BY search_phrase
ORDER BY visitors DESC, search_phrase LIMIT 10;
