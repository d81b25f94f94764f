-- A constant beside the key.
SELECT 1, url, count(*) AS hits
FROM 'testdata/hits'
GROUP BY 1, url
ORDER BY hits DESC, url LIMIT 10;
