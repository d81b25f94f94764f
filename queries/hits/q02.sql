-- Sum, count and mean of small numbers.
SELECT sum(adv_engine_id), count(*), avg(resolution_width) FROM 'testdata/hits';
