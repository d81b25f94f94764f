-- All rows.
SELECT count(*) FROM 'testdata/hits';
