-- Word count, as MapReduce was introduced: map lines to words, reduce by word.
-- Data: two short texts, a line in each row. Notice: EXPLAIN STAGES shows the map and the reduce side.
SELECT word, count(*) AS times
FROM (
    SELECT unnest(string_to_array(line, ' ')) AS word
    FROM read_csv('queries/seeds/library', delim => '|', header => true) AS texts
) AS words
GROUP BY word
ORDER BY times DESC, word;
