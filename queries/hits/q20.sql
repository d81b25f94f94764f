-- Two patterns and a distinct count.
SELECT search_phrase, min(url), min(title), count(*) AS hits, count(DISTINCT user_id)
FROM 'testdata/hits'
WHERE title LIKE '%Google%' AND url NOT LIKE '%/item/%' AND search_phrase <> ''
GROUP BY search_phrase
ORDER BY hits DESC, search_phrase LIMIT 10;
