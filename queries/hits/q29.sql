-- Long texts as the key.
SELECT url, count(*) AS hits FROM 'testdata/hits' GROUP BY url ORDER BY hits DESC, url LIMIT 10;
