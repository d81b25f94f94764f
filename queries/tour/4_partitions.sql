-- What does each region sell most of, in 2024?
-- Data: testdata/sales, folders region=/year=, some files CSV and some Parquet.
-- Notice: year is a folder, so the files of 2023 are not opened; region is a folder too, so the
-- GROUP BY on it needs no exchange (EXPLAIN says "in one phase").
SELECT region, product, sum(quantity) AS pieces, sum(amount) AS amount
FROM 'testdata/sales'
WHERE year = 2024
GROUP BY region, product
QUALIFY row_number() OVER (PARTITION BY region ORDER BY sum(quantity) DESC, product) = 1
ORDER BY region;
