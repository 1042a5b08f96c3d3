-- Every named query of nextcart. A block starts with its name between dashes, then a line of purpose.
-- Views: events(split, session, aid, ts, type, position), events_train, events_test, events_train_split,
-- events_val_split (the same columns without split) and
-- sessions(split, session, start_ts, end_ts, events, clicks, carts, orders) of the splits train and test.
-- type: 0 clicks, 1 carts, 2 orders; ts: Unix milliseconds, UTC; $name: a parameter.

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

-- name: session_events --
-- The events of one session over the splits train and test, in their order.
select aid, ts, type
from events
where split in ('train', 'test') and session = $session
order by ts, position;

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
        len(list_distinct(list(aid))) as items,
        bool_or(type = 0) as clicks,
        bool_or(type = 1) as carts,
        bool_or(type = 2) as orders
    from events
    where split = $split and abs(hash(session)) % $parts = $part
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
)
select session
from lengths
order by abs(events - (select quantile_disc(events, 0.5) from lengths)), session
limit 1;
