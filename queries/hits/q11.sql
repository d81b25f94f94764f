-- Phrases that were searched for.
SELECT search_phrase, count(*) AS hits
FROM 'testdata/hits'
WHERE search_phrase <> ''
GROUP BY search_phrase
ORDER BY hits DESC, search_phrase LIMIT 10;
