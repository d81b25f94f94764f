-- A regular expression as the key: the host that sent a visitor.
SELECT regexp_replace(referer, '^https?://([^/]+)/.*$', '\1') AS host, avg(length(referer)) AS mean, count(*) AS hits, min(referer)
FROM 'testdata/hits'
WHERE referer <> ''
GROUP BY host HAVING count(*) > 20
ORDER BY hits DESC, host LIMIT 25;
