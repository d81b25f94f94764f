-- The first and the last day: answered by the folders.
SELECT min(event_date), max(event_date) FROM 'testdata/hits';
