-- The first phrases by letters.
SELECT search_phrase FROM 'testdata/hits' WHERE search_phrase <> '' ORDER BY search_phrase LIMIT 10;
