-- Distinct large numbers.
SELECT count(DISTINCT user_id) FROM 'testdata/hits';
