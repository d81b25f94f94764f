-- A text within a text.
SELECT count(*) FROM 'testdata/hits' WHERE url LIKE '%google%';
