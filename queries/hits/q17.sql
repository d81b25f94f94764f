-- One visitor.
SELECT user_id FROM 'testdata/hits' WHERE user_id = (SELECT min(user_id) FROM 'testdata/hits');
