-- The textbook's first job, reduceByKey: the sum of value for each id.
-- Data: queries/seeds/pairs.csv, `id,value` with the values 1 to 10.
-- Notice: one phase for each file (map and combine), an exchange by id, one sum (reduce):
-- put EXPLAIN in front to see it.
SELECT id, sum(value) AS total
FROM 'queries/seeds/pairs.csv'
GROUP BY id
ORDER BY id;
