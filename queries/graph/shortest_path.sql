-- How many steps from node 1 to every other, along the edges?
-- Notice: the depth bounds the recursion; a shortest path never visits more nodes than there are.
WITH RECURSIVE steps AS (
    SELECT 1 AS node, 0 AS step
    UNION ALL
    SELECT edges.target, steps.step + 1
    FROM steps JOIN 'queries/graph/edges.csv' AS edges ON steps.node = edges.source
    WHERE steps.step < 9
)
SELECT node, min(step) AS steps
FROM steps
GROUP BY node
ORDER BY steps, node;
