-- PageRank: a node's rank is what its sources hand on, in equal shares (damping 0.85, 20 rounds).
-- Notice: the aggregate inside the recursion; each round reads the ranks of the round before.
WITH RECURSIVE
    edges AS (SELECT source, target FROM 'queries/graph/edges.csv' AS e),
    nodes AS (SELECT source AS node FROM edges UNION SELECT target FROM edges),
    shares AS (SELECT source, 1.0 / count(*) AS share FROM edges GROUP BY source),
    ranks AS (
        SELECT node, CAST(1 AS DOUBLE) AS rank, 0 AS round FROM nodes
        UNION ALL
        SELECT edges.target, 0.15 + 0.85 * sum(ranks.rank * shares.share), max(ranks.round) + 1
        FROM ranks
        JOIN edges ON ranks.node = edges.source
        JOIN shares ON shares.source = edges.source
        WHERE ranks.round < 20
        GROUP BY edges.target
    )
SELECT node, round(rank, 4) AS rank
FROM ranks
WHERE round = 20
ORDER BY rank DESC, node;
