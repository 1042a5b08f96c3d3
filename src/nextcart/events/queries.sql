-- Every named query of nextcart. A block starts with its name between dashes, then a line of purpose.
-- Views: events(split, session, aid, ts, type, position), events_train, events_test, events_train_split,
-- events_val_split (the same columns without split) and
-- sessions(split, session, start_ts, end_ts, events, clicks, carts, orders) of the splits train and test.
-- type: 0 clicks, 1 carts, 2 orders; ts: Unix milliseconds, UTC; $name: a parameter.
-- DuckDB's dialect, which SQLGlot transpiles for Spark; a test runs every block on both. So: ::double on literals, since
-- decimals divide differently; no percentile_disc and no abs(hash(…)), which become something else or overflow there.
-- Places are by weight as float32, in which models keep it, then the more popular item, then the smaller id.

-- name: ingest_blocks --
-- Lines, and events of usual lines, in each block of a raw file; of the kept table raw_lines.
select
    block,
    min(place) as first_place,
    count(*) as lines,
    cast(coalesce(sum(records), 0) as bigint) as records
from raw_lines
group by block
order by block;

-- name: ingest_odd_lines --
-- The lines of a raw file that need every check, with their numbers; of the kept tables raw_lines and blocks.
select b.first_line + l.place - b.first_place as line, l.text
from raw_lines as l join blocks as b on b.block = l.block
where l.records is null
order by line;

-- name: ingest_numbered --
-- Each line of a raw file with the position of its first record; odd_records has how many an odd line holds.
select
    l.block,
    l.place,
    l.session,
    l.events,
    l.records,
    b.first_position + cast(coalesce(
        sum(coalesce(l.records, odd.records, 0)) over (
            partition by l.block order by l.place rows between unbounded preceding and 1 preceding
        ), 0
    ) as bigint) as position
from raw_lines as l
    join blocks as b on b.block = l.block
    left join odd_records as odd on odd.line = b.first_line + l.place - b.first_place;

-- name: ingest_odd_starts --
-- The position of the first record of each odd line, in the order of the lines; of the kept table numbered.
select position
from numbered
where records is null
order by block, place;

-- name: ingest_seen --
-- The events of a split whose sessions come again; of the kept table staged.
select session, aid, ts, type
from events
where split = $split and session in (select session from staged);

-- name: ingest_merged --
-- Staged events that are new to the store, in its order; of equal ones the first; of the kept tables staged and seen.
select session, aid, ts, type, min(position) as position
from staged
where not exists (
    select 1
    from seen
    where seen.session = staged.session and seen.aid = staged.aid and seen.ts = staged.ts and seen.type = staged.type
)
group by session, aid, ts, type
order by session, ts, position;

-- name: popularity --
-- The most frequent items of a split, with their events by type.
select
    aid,
    count(*) as events,
    count(*) filter (where type = 0) as clicks,
    count(*) filter (where type = 1) as carts,
    count(*) filter (where type = 2) as orders
from events
where split = $split
group by aid
order by events desc, aid
limit $top;

-- name: item_counts --
-- Events of every item of a split, most frequent first, ties by the smaller id.
select aid, count(*) as events
from events
where split = $split
group by aid
order by events desc, aid;

-- name: item_first_events --
-- When each item of a split first came.
select aid, min(ts) as first_ts
from events
where split = $split
group by aid
order by aid;

-- name: session_events --
-- The events of one session over the splits train and test, in their order.
select aid, ts, type
from events
where split in ('train', 'test') and session = $session
order by ts, position;

-- name: session_splits --
-- The splits that hold events of one session, and when the first of these was.
select split, min(ts) as first_ts
from events
where session = $session
group by split
order by split;

-- name: split_summary --
-- Size and time range of a split.
select
    count(*) as events,
    count(distinct session) as sessions,
    count(distinct aid) as items,
    min(ts) as first_ts,
    max(ts) as last_ts
from events
where split = $split;

-- name: profile_hours --
-- Events of each hour since 1970 and type, with the first and last time; days and weekdays are sums of it.
select ts // 3600000 as hour, type, count(*) as events, min(ts) as first_ts, max(ts) as last_ts
from events
where split = $split
group by ts // 3600000, type
order by hour, type;

-- name: profile_items --
-- How many items have how many events, and which types they occur with.
select events, clicks, carts, orders, count(*) as number
from (
    select
        aid,
        count(*) as events,
        bool_or(type = 0) as clicks,
        bool_or(type = 1) as carts,
        bool_or(type = 2) as orders
    from events
    where split = $split
    group by aid
)
group by events, clicks, carts, orders
order by events, clicks, carts, orders;

-- name: profile_sessions --
-- How many sessions have how many events, distinct items and which types; one of $parts parts of the sessions.
select events, items, clicks, carts, orders, count(*) as number
from (
    select
        session,
        count(*) as events,
        array_length(list_distinct(list(aid))) as items,
        bool_or(type = 0) as clicks,
        bool_or(type = 1) as carts,
        bool_or(type = 2) as orders
    from events
    where split = $split and (hash(session) & 65535) % $parts = $part
    group by session
)
group by events, items, clicks, carts, orders
order by events, items, clicks, carts, orders;

-- name: typical_session --
-- The session of a split whose length is nearest the median, of equals the smallest id; at least $least events.
with lengths as (
    select session, count(*) as events
    from events
    where split = $split
    group by session
    having count(*) >= $least
),
median as (
    select min(events) as events
    from (
        select events, sum(count(*)) over (order by events) as reached, sum(count(*)) over () as total
        from lengths
        group by events
    )
    where 2 * reached >= total
)
select session
from lengths cross join median
order by abs(lengths.events - median.events), session
limit 1;

-- name: session_times --
-- When each training session begins and ends.
select session, min(ts) as start_ts, max(ts) as end_ts
from events_train
group by session;

-- name: ends_by_hour --
-- Training sessions that end in each hour since 1970; of the kept table session_times.
select end_ts // 3600000 as hour, count(*) as sessions
from session_times
group by end_ts // 3600000
order by hour;

-- name: ends_of_hour --
-- Training sessions that end at each time within one hour; of the kept table session_times.
select end_ts, count(*) as sessions
from session_times
where end_ts // 3600000 = $hour
group by end_ts
order by end_ts;

-- name: sides_percentile --
-- The side of each training session by its end, and the time that events for training lie before.
select session, if(end_ts <= $cut, 'train_split', 'val_split') as side, $cut + 1 as before_ts
from session_times;

-- name: sides_days --
-- The same by OTTO's rule: later sessions validate, earlier ones train with what they have before the cut.
select session, if(min(ts) > $cut, 'val_split', 'train_split') as side, $cut as before_ts
from events_train
group by session
having min(ts) > $cut or count(*) filter (where ts < $cut) >= $least;

-- name: split_part --
-- The events of one side of the sessions $first to $last, in the store's order; of the kept table sides.
select e.session, e.aid, e.ts, e.type, e.position
from events_train as e join sides on sides.session = e.session
where
    e.session >= $first and e.session <= $last
    -- Said of both: else the whole table of sides is hashed for each range.
    and sides.session >= $first and sides.session <= $last
    and sides.side = $side and (sides.side = 'val_split' or e.ts < sides.before_ts)
order by e.session, e.ts, e.position;

-- name: session_items --
-- Which items each session touched, in the store's order: what item2vec learns from.
select session, aid
from events
where split = $split
order by session, ts, position;

-- name: top_sellers --
-- Every item's recency-weighted popularity, by type and overall; ages count from the newest event.
with newest as (
    select max(ts) as ts from events where split = $split
),
recent as (
    select e.aid, e.type, exp(-$decay_per_day * (newest.ts - e.ts) / 86400000::double) as weight
    from events as e cross join newest
    where e.split = $split
),
scored as (
    select
        aid,
        $clicks * sum(case when type = 0 then weight else 0::double end) as clicks,
        $carts * sum(case when type = 1 then weight else 0::double end) as carts,
        $orders * sum(case when type = 2 then weight else 0::double end) as orders
    from recent
    group by aid
)
select aid, clicks + carts + orders as overall, clicks, carts, orders
from scored;

-- name: covisitation --
-- Each item's best neighbours: what follows it soon in a session, or stands near, by the weight of every such pair.
with numbered as (
    select session, aid, ts, type, row_number() over (partition by session order by ts desc, position desc) as back
    from events
    where split = $split
),
tail as (
    select session, aid, ts, type, back from numbered where back <= $last_events
),
pairs as (
    select
        a.aid,
        b.aid as neighbour,
        sum(
            case b.type when 0 then $clicks when 1 then $carts else $orders end
            * pow($position_decay, abs(a.back - b.back) - 1)
            * exp(-$decay_per_hour * abs(b.ts - a.ts) / 3600000::double)
        ) as weight
    from tail as a join tail as b on b.session = a.session
    where b.back <> a.back
        and ($direction = 'around' or b.back < a.back)
        and ($direction <> 'later' or b.ts > a.ts)
        and abs(b.ts - a.ts) <= $window_ms
        and ($keep_diagonal or b.aid <> a.aid)
        and ($look_back_events = 0 or abs(a.back - b.back) <= $look_back_events)
    group by a.aid, b.aid
),
weighed as (
    select
        aid,
        neighbour,
        weight / case when $normalised then sum(weight) over (partition by aid) else 1::double end as weight
    from pairs
    where weight > 0
),
items as (
    select aid, count(*) as events from events where split = $split group by aid
),
ranked as (
    select
        weighed.aid,
        weighed.neighbour,
        weighed.weight,
        row_number() over (
            partition by weighed.aid order by weighed.weight::real desc, items.events desc, weighed.neighbour
        ) as place
    from weighed join items on items.aid = weighed.neighbour
)
select aid, neighbour, weight, place
from ranked
where place <= $top_n;

-- name: bought_together --
-- Each item's best complements: carts and orders of one session, counted once, by shrunk conditional probability.
with numbered as (
    select session, aid, ts, row_number() over (partition by session order by ts desc, position desc) as back
    from events
    where split = $split and type in (1, 2)
),
bought as (
    select session, aid, ts from numbered where back <= $max_basket_events
),
support as (
    select aid, count(distinct session) as sessions from bought group by aid
),
sizes as (
    select session, count(distinct aid) as items from bought group by session
),
baskets as (
    select
        count(*) as sessions,
        coalesce(avg(case when items > 1 then pow(items - 1, -$size_power) end), 1.0) as mean_weight
    from sizes
),
items as (
    select aid, count(*) as events from events where split = $split group by aid
),
staples as (
    select support.aid, row_number() over (order by support.sessions desc, items.events desc, support.aid) as place
    from support join items on items.aid = support.aid cross join baskets
    where support.sessions >= $shrinkage and $shrinkage * support.sessions >= $min_support * baskets.sessions
),
near as (
    select distinct a.session, a.aid, b.aid as neighbour
    from bought as a join bought as b on b.session = a.session
    where b.aid <> a.aid and abs(b.ts - a.ts) <= $window_ms
),
pairs as (
    select near.aid, near.neighbour, pow(sizes.items - 1, -$size_power) as weight, 1 as seen
    from near join sizes on sizes.session = near.session
    union all
    select support.aid, staples.aid as neighbour, 0.0 as weight, $min_support as seen
    from support join staples on staples.aid <> support.aid
    where staples.place <= $top_n
),
together as (
    select aid, neighbour, sum(weight) as weight from pairs group by aid, neighbour having sum(seen) >= $min_support
),
scored as (
    select
        together.aid,
        together.neighbour,
        (together.weight + $shrinkage * baskets.mean_weight * b.sessions / baskets.sessions)
            / (a.sessions + $shrinkage) / pow(b.sessions::double / baskets.sessions, $popularity_power) as weight
    from together
        join support as a on a.aid = together.aid
        join support as b on b.aid = together.neighbour
        cross join baskets
),
ranked as (
    select
        scored.aid,
        scored.neighbour,
        scored.weight,
        row_number() over (
            partition by scored.aid order by scored.weight::real desc, items.events desc, scored.neighbour
        ) as place
    from scored join items on items.aid = scored.neighbour
)
select aid, neighbour, weight, place
from ranked
where place <= $top_n;
