-- Since when, and how often, are antigen tests counted?
-- Notice: a column that only the newer files have is a column of the whole table.
SELECT min(date)::DATE AS since, count(antigen_tests) AS rows_with, count(*) AS all_rows
FROM 'testdata/regions/regions-2021*.csv'
WHERE antigen_tests IS NOT NULL OR date < TIMESTAMP '2021-01-15';
