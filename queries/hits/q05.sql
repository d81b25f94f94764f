-- Distinct texts.
SELECT count(DISTINCT search_phrase) FROM 'testdata/hits';
