-- How many tests and cases did each region report?
-- Data: testdata/regions, one file a day, as health authorities publish them.
-- Notice: the header grew on 15 January, and the columns that older files lack are NULL; codes with
-- leading zeros stay text; `latest` repeats the last day, and the notes say so.
SELECT region_code, region, sum(tests) AS tests, sum(cases) AS cases
FROM 'testdata/regions'
GROUP BY ALL
ORDER BY region_code;
