-- The mean of large numbers.
SELECT avg(user_id) FROM 'testdata/hits';
