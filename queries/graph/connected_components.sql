-- Which nodes hang together? Each node takes the smallest number that it can reach, either way.
-- Data: an edge list. Notice: UNION drops what was found before, so the recursion ends by itself.
WITH RECURSIVE
    links AS (
        SELECT source AS a, target AS b FROM 'queries/graph/edges.csv' AS edges
        UNION
        SELECT target, source FROM 'queries/graph/edges.csv' AS edges
    ),
    reach AS (
        SELECT a AS node, a AS other FROM links
        UNION
        SELECT reach.node, links.b FROM reach JOIN links ON reach.other = links.a
    )
SELECT node, min(other) AS component
FROM reach
GROUP BY node
ORDER BY node;
