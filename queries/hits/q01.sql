-- Rows that an advertisement brought.
SELECT count(*) FROM 'testdata/hits' WHERE adv_engine_id <> 0;
