-- An inverted index: for each word the texts that hold it, as a search engine keeps it.
-- Notice: filename is a column of its own as soon as a statement mentions it.
SELECT word, string_agg(DISTINCT text, ', ' ORDER BY text) AS texts
FROM (
    SELECT
        unnest(string_to_array(line, ' ')) AS word,
        regexp_replace(filename, '.*/(.*)\.txt', '\1') AS text
    FROM read_csv('queries/seeds/library', delim => '|', header => true) AS texts
) AS words
GROUP BY word
ORDER BY word;
