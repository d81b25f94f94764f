//! Inner joins are ordered by what is estimated of their inputs, semi joins among them.
//!
//! DataFusion joins tables in the order in which the statement names them, and applies `IN` and
//! `EXISTS` last. Here a tree of inner, semi and anti joins is taken apart: into the inputs, classes
//! of columns that are equal, other conditions, and semi and anti joins as inputs that only reduce.
//! All orders of up to `ALL_ORDERS_MAX` inputs are weighed (dynamic programming over sets, as in
//! Moerkotte and Neumann, VLDB 2006), more of them greedily, by rows that are built, probed and
//! given. The smaller input becomes the left one, of which the hash table is built.
//!
//! Classes make new joins possible: where a = b and b = c, a and c can be joined first. Rows are the
//! same in any order; columns are put back into theirs. Where an input says nothing of its size,
//! or the order written is about as good, the tree stays as it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ExprSchema, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, Filter, Join, JoinConstraint, JoinType, LogicalPlan, LogicalPlanBuilder,
};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::dataset::table::contains_subquery;
use crate::plan::estimate::{self, Estimate};

/// Up to this many inputs all orders are weighed.
const ALL_ORDERS_MAX: usize = 8;
/// More inputs than this stay in their order.
const INPUTS_MAX: usize = 60;
/// A new order must cost less than this share of the old one's.
const GAIN_MIN: f64 = 0.9;
/// What a row costs that goes into a hash table, against one that is looked up or given.
const BUILD_COST: f64 = 2.0;

/// The rule.
#[derive(Debug, Default)]
pub struct JoinOrder;

impl OptimizerRule for JoinOrder {
    fn name(&self) -> &str {
        "join_order"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        rewrite(plan)
    }
}

fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !matches!(&plan, LogicalPlan::Join(_)) || !is_of_tree(&plan) {
        return plan.map_children(rewrite);
    }
    rewrite_inputs(plan)?.transform_data(|plan| {
        Ok(match reordered(&plan)? {
            Some(reordered) => Transformed::yes(reordered),
            None => Transformed::no(plan),
        })
    })
}

/// Orders the joins within the inputs of a tree.
fn rewrite_inputs(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !is_of_tree(&plan) {
        return rewrite(plan);
    }
    let has_reducer = matches!(&plan, LogicalPlan::Join(join) if join.join_type != JoinType::Inner);
    let mut is_reducer = false;
    plan.map_children(|child| {
        // The right side of a semi or anti join is an input, whatever it is.
        let child = if is_reducer { rewrite(child) } else { rewrite_inputs(child) };
        is_reducer = has_reducer;
        child
    })
}

/// The tree in a better order, if there is one.
fn reordered(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let mut joins = Joins::default();
    let shape = joins.take_apart(plan);
    let Some(weighed) = joins.weigh() else { return Ok(None) };
    let old = weighed.cost_of(&shape);
    let new = weighed.best();
    let Some(new) = new.filter(|new| old.is_none_or(|old| new.cost < old.cost * GAIN_MIN)) else {
        return Ok(None);
    };
    let columns = plan.schema().columns().into_iter().map(Expr::Column);
    let joined = weighed.plan(&new.shape)?.plan;
    LogicalPlanBuilder::from(joined).project(columns)?.build().map(Some)
}

/// Whether a plan belongs to a tree of joins, and is no input of it.
fn is_of_tree(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) => is_ordered(join),
        // Columns that nobody wants are left out again later.
        LogicalPlan::Projection(projection) => {
            projection.expr.iter().all(|expr| expr.try_as_col().is_some())
                && is_of_tree(&projection.input)
        }
        LogicalPlan::Filter(filter) => {
            !filter.predicate.is_volatile()
                && !contains_subquery(&filter.predicate)
                && is_of_tree(&filter.input)
        }
        _ => false,
    }
}

/// Whether a join can change places with others.
fn is_ordered(join: &Join) -> bool {
    let is_sound = join.null_equality == NullEquality::NullEqualsNothing;
    let is_volatile = join.filter.as_ref().is_some_and(Expr::is_volatile)
        || join.on.iter().any(|(left, right)| left.is_volatile() || right.is_volatile());
    let kind = matches!(join.join_type, JoinType::Inner | JoinType::LeftSemi | JoinType::LeftAnti);
    kind && is_sound && !is_volatile
}

/// Inputs of a tree of joins as bits.
type Set = u64;

/// How a tree of joins is made.
#[derive(Debug, Clone)]
enum Shape {
    Input(usize),
    Join(Arc<Shape>, Arc<Shape>),
    /// A semi or anti join with the reducer of that number.
    Reduced(Arc<Shape>, usize),
}

/// A tree of joins, taken apart.
#[derive(Default)]
struct Joins {
    inputs: Vec<Arc<LogicalPlan>>,
    /// Semi and anti joins; their left sides are of no use any more.
    reducers: Vec<Join>,
    equalities: Vec<(Expr, Expr)>,
    conditions: Vec<Expr>,
}

impl Joins {
    fn take_apart(&mut self, plan: &LogicalPlan) -> Shape {
        match plan {
            LogicalPlan::Join(join) if is_of_tree(plan) => {
                let left = Arc::new(self.take_apart(&join.left));
                if join.join_type != JoinType::Inner {
                    self.reducers.push(join.clone());
                    return Shape::Reduced(left, self.reducers.len() - 1);
                }
                let right = Arc::new(self.take_apart(&join.right));
                self.equalities.extend(join.on.iter().cloned());
                if let Some(filter) = &join.filter {
                    self.conditions.extend(split_conjunction_owned(filter.clone()));
                }
                Shape::Join(left, right)
            }
            LogicalPlan::Projection(projection) if is_of_tree(plan) => {
                self.take_apart(&projection.input)
            }
            LogicalPlan::Filter(filter) if is_of_tree(plan) => {
                self.conditions.extend(split_conjunction_owned(filter.predicate.clone()));
                self.take_apart(&filter.input)
            }
            other => {
                self.inputs.push(Arc::new(other.clone()));
                Shape::Input(self.inputs.len() - 1)
            }
        }
    }

    /// Estimates all inputs; None if one says nothing, or a column is not of one input.
    fn weigh(self) -> Option<Weighed> {
        if self.inputs.len() + self.reducers.len() > INPUTS_MAX {
            return None;
        }
        let mut owners: HashMap<Column, usize> = HashMap::new();
        for (idx, input) in self.inputs.iter().enumerate() {
            for column in input.schema().columns() {
                if owners.insert(column, idx).is_some() {
                    return None;
                }
            }
        }
        let mut weighed = Weighed {
            estimates: self
                .inputs
                .iter()
                .map(|input| estimate::estimate(input))
                .collect::<Option<_>>()?,
            inputs: self.inputs,
            owners,
            classes: Vec::new(),
            edges: Vec::new(),
            conditions: Vec::new(),
            reducers: Vec::new(),
        };
        for (left, right) in self.equalities {
            weighed.equate(left, right)?;
        }
        for condition in self.conditions {
            weighed.conditions.push((weighed.needs(&condition)?, condition));
        }
        for join in self.reducers {
            let estimate = estimate::estimate(&join.right)?;
            let mut needs = 0;
            for (left, _) in &join.on {
                needs |= weighed.needs(left)?;
            }
            // What a condition takes from the right side is not of ours.
            for column in join.filter.iter().flat_map(Expr::column_refs) {
                if !join.right.schema().has_column(column) {
                    needs |= 1 << weighed.owners.get(column)?;
                }
            }
            // EXISTS of anything has no place of its own.
            if needs == 0 {
                return None;
            }
            let share = weighed.share_left(&join, &estimate);
            weighed.reducers.push(Reducing { row_count: estimate.row_count, join, needs, share });
        }
        Some(weighed)
    }
}

/// A column with the number of the input that it is of.
type Member = (usize, Column);

/// Columns that are equal in the result, at most one of each input.
struct Class {
    members: Vec<Member>,
    set: Set,
}

/// A semi or anti join with what is estimated of it.
struct Reducing {
    join: Join,
    needs: Set,
    row_count: f64,
    /// The share of rows that it leaves.
    share: f64,
}

/// A tree of joins, taken apart, with all that an order is chosen by.
struct Weighed {
    inputs: Vec<Arc<LogicalPlan>>,
    estimates: Vec<Estimate>,
    owners: HashMap<Column, usize>,
    classes: Vec<Class>,
    /// Equalities of expressions that are not columns, with the inputs that each needs.
    edges: Vec<(Set, Expr, Set, Expr)>,
    conditions: Vec<(Set, Expr)>,
    reducers: Vec<Reducing>,
}

/// An order of a set of inputs and reducers.
#[derive(Debug, Clone)]
struct Order {
    set: Set,
    shape: Arc<Shape>,
    row_count: f64,
    cost: f64,
}

/// A plan with the columns that must be compared above it.
struct Built {
    plan: LogicalPlan,
    set: Set,
}

impl Weighed {
    fn needs(&self, expr: &Expr) -> Option<Set> {
        expr.column_refs()
            .into_iter()
            .try_fold(0, |set, column| self.owners.get(column).map(|owner| set | 1 << owner))
    }

    fn type_of(
        &self,
        owner: usize,
        column: &Column,
    ) -> Option<datafusion::arrow::datatypes::DataType> {
        let field = self.inputs[owner].schema().field_from_column(column).ok()?;
        Some(field.data_type().clone())
    }

    fn equate(&mut self, left: Expr, right: Expr) -> Option<()> {
        let (of_left, of_right) = (self.needs(&left)?, self.needs(&right)?);
        let columns = left.try_as_col().cloned().zip(right.try_as_col().cloned());
        let Some((one, other)) = columns else {
            match of_left & of_right == 0 && of_left != 0 && of_right != 0 {
                true => self.edges.push((of_left, left, of_right, right)),
                false => self.conditions.push((of_left | of_right, left.eq(right))),
            }
            return Some(());
        };
        let (one_owner, other_owner) = (*self.owners.get(&one)?, *self.owners.get(&other)?);
        let same_type = self.type_of(one_owner, &one)? == self.type_of(other_owner, &other)?;
        let find = |classes: &[Class], owner: usize, column: &Column| {
            classes.iter().position(|class| {
                class.members.iter().any(|(of, name)| *of == owner && name == column)
            })
        };
        let mut take = |owner: usize, column: Column| match find(&self.classes, owner, &column) {
            Some(idx) => self.classes.swap_remove(idx),
            None => Class { members: vec![(owner, column)], set: 1 << owner },
        };
        let mut class = take(one_owner, one.clone());
        if class.members.iter().any(|(of, name)| *of == other_owner && *name == other) {
            self.classes.push(class);
            return Some(());
        }
        let also = take(other_owner, other.clone());
        // One input's columns are compared in that input, not by joins.
        if class.set & also.set != 0 || !same_type {
            let condition = Expr::Column(one).eq(Expr::Column(other));
            self.conditions.push((of_left | of_right, condition));
            self.classes.extend([class, also].into_iter().filter(|class| class.members.len() > 1));
            return Some(());
        }
        class.set |= also.set;
        class.members.extend(also.members);
        self.classes.push(class);
        Some(())
    }

    /// The share of rows that a semi or anti join leaves.
    fn share_left(&self, join: &Join, right: &Estimate) -> f64 {
        let pairs: Vec<(&Column, &Column)> = join
            .on
            .iter()
            .filter_map(|(left, right)| Some((left.try_as_col()?, right.try_as_col()?)))
            .collect();
        let owner = pairs.first().and_then(|(left, _)| self.owners.get(*left));
        let matched =
            owner.map_or(0.5, |owner| estimate::matched(&self.estimates[*owner], right, &pairs));
        let also = if join.filter.is_some() { 0.9 } else { 1.0 };
        match join.join_type {
            JoinType::LeftSemi => matched * also,
            _ => (1.0 - matched * also).max(0.1),
        }
    }

    fn reducer_bit(&self, idx: usize) -> Set {
        1 << (self.inputs.len() + idx)
    }

    fn input_order(&self, idx: usize) -> Order {
        let set = 1 << idx;
        let own = self.conditions.iter().filter(|(needs, _)| *needs == set);
        let share: f64 =
            own.map(|(_, condition)| estimate::share(condition, &self.estimates[idx])).product();
        let row_count = (self.estimates[idx].row_count * share).max(1.0);
        Order { set, shape: Arc::new(Shape::Input(idx)), row_count, cost: 0.0 }
    }

    fn is_connected(&self, one: Set, other: Set) -> bool {
        self.classes.iter().any(|class| class.set & one != 0 && class.set & other != 0)
            || self.edges.iter().any(|(left, _, right, _)| crosses(*left, *right, one, other))
    }

    /// Conditions that can be decided by both together and by neither alone.
    fn conditions_between(&self, one: Set, other: Set) -> impl Iterator<Item = &(Set, Expr)> {
        self.conditions.iter().filter(move |(needs, _)| {
            needs & !(one | other) == 0
                && needs & !one != 0
                && needs & !other != 0
                && needs.count_ones() > 1
        })
    }

    /// Of each class on both sides a column of each, the one with the fewest values.
    fn links(&self, one: Set, other: Set) -> Vec<(&Member, &Member)> {
        let pick = |class: &'_ Class, set: Set| -> Option<usize> {
            let count = |idx: &usize| {
                let (owner, column) = &class.members[*idx];
                self.estimates[*owner].distinct_max(column)
            };
            (0..class.members.len())
                .filter(|idx| set & (1 << class.members[*idx].0) != 0)
                .min_by(|left, right| count(left).total_cmp(&count(right)))
        };
        self.classes
            .iter()
            .filter_map(|class| {
                let (left, right) = pick(class, one).zip(pick(class, other))?;
                Some((&class.members[left], &class.members[right]))
            })
            .collect()
    }

    fn joined(&self, one: &Order, other: &Order) -> Order {
        let links = self.links(one.set, other.set);
        let mut row_count = one.row_count * other.row_count;
        // Links between the same two inputs are one key of several columns.
        let mut keys: BTreeMap<(usize, usize), Vec<(&Column, &Column)>> = BTreeMap::new();
        for ((left, of_left), (right, of_right)) in links {
            keys.entry((*left, *right)).or_default().push((of_left, of_right));
        }
        for ((left, right), pairs) in keys {
            let (left, right) = (&self.estimates[left], &self.estimates[right]);
            row_count *= estimate::joined(left, right, &pairs) / (left.row_count * right.row_count);
        }
        for _ in self
            .edges
            .iter()
            .filter(|(left, _, right, _)| crosses(*left, *right, one.set, other.set))
        {
            row_count /= one.row_count.max(other.row_count);
        }
        let unknown = Estimate::default();
        for (_, condition) in self.conditions_between(one.set, other.set) {
            row_count *= estimate::share(condition, &unknown);
        }
        let row_count = row_count.max(1.0);
        let (build, probe) =
            if one.row_count <= other.row_count { (one, other) } else { (other, one) };
        Order {
            set: one.set | other.set,
            shape: Arc::new(Shape::Join(Arc::clone(&build.shape), Arc::clone(&probe.shape))),
            cost: one.cost
                + other.cost
                + BUILD_COST * build.row_count
                + probe.row_count
                + row_count,
            row_count,
        }
    }

    fn reduced(&self, order: &Order, idx: usize) -> Order {
        let reducer = &self.reducers[idx];
        let row_count = (order.row_count * reducer.share).max(1.0);
        let (build, probe) =
            (order.row_count.min(reducer.row_count), order.row_count.max(reducer.row_count));
        Order {
            set: order.set | self.reducer_bit(idx),
            shape: Arc::new(Shape::Reduced(Arc::clone(&order.shape), idx)),
            cost: order.cost + BUILD_COST * build + probe + row_count,
            row_count,
        }
    }

    /// What a given shape costs; None if it joins what nothing connects.
    fn cost_of(&self, shape: &Shape) -> Option<Order> {
        match shape {
            Shape::Input(idx) => Some(self.input_order(*idx)),
            Shape::Join(left, right) => {
                let (left, right) = (self.cost_of(left)?, self.cost_of(right)?);
                self.is_connected(left.set, right.set).then(|| self.joined(&left, &right))
            }
            Shape::Reduced(input, idx) => Some(self.reduced(&self.cost_of(input)?, *idx)),
        }
    }

    fn best(&self) -> Option<Order> {
        match self.inputs.len() + self.reducers.len() {
            count if count <= ALL_ORDERS_MAX => self.best_of_all(count),
            _ => self.greedy(),
        }
    }

    fn best_of_all(&self, count: usize) -> Option<Order> {
        let mut best: Vec<Option<Order>> = vec![None; 1 << count];
        for set in 1..best.len() as Set {
            let mut least: Option<Order> = (set.count_ones() == 1
                && set.trailing_zeros() < self.inputs.len() as u32)
                .then(|| self.input_order(set.trailing_zeros() as usize));
            let mut keep = |order: Order| {
                if least.as_ref().is_none_or(|least| order.cost < least.cost) {
                    least = Some(order);
                }
            };
            for (idx, reducer) in self.reducers.iter().enumerate() {
                let rest = set & !self.reducer_bit(idx);
                if rest != set && reducer.needs & !rest == 0 {
                    best[rest as usize].iter().for_each(|order| keep(self.reduced(order, idx)));
                }
            }
            let mut one = (set - 1) & set;
            while one > 0 {
                let other = set & !one;
                if one < other
                    && let (Some(left), Some(right)) = (&best[one as usize], &best[other as usize])
                    && self.is_connected(one, other)
                {
                    keep(self.joined(left, right));
                }
                one = (one - 1) & set;
            }
            best[set as usize] = least;
        }
        best.pop().flatten()
    }

    /// Joins those two next that give the fewest rows.
    fn greedy(&self) -> Option<Order> {
        let mut orders: Vec<Order> =
            (0..self.inputs.len()).map(|idx| self.input_order(idx)).collect();
        let mut waiting: Vec<usize> = (0..self.reducers.len()).collect();
        loop {
            // A reducer that is ready and leaves fewer rows comes first.
            if let Some(at) = waiting.iter().position(|idx| {
                let reducer = &self.reducers[*idx];
                let ready = orders.iter().any(|order| reducer.needs & !order.set == 0);
                ready && (reducer.share < 0.5 || orders.len() == 1)
            }) {
                let idx = waiting.swap_remove(at);
                let needs = self.reducers[idx].needs;
                let order = orders.iter_mut().find(|order| needs & !order.set == 0)?;
                *order = self.reduced(order, idx);
                continue;
            }
            if orders.len() == 1 {
                return orders.pop();
            }
            let mut least: Option<(usize, usize, Order)> = None;
            for left in 0..orders.len() {
                for right in left + 1..orders.len() {
                    if self.is_connected(orders[left].set, orders[right].set) {
                        let order = self.joined(&orders[left], &orders[right]);
                        if least
                            .as_ref()
                            .is_none_or(|(_, _, least)| order.row_count < least.row_count)
                        {
                            least = Some((left, right, order));
                        }
                    }
                }
            }
            let (left, right, order) = least?;
            orders.remove(right);
            orders[left] = order;
        }
    }

    /// The plan of a shape.
    fn plan(&self, shape: &Shape) -> Result<Built> {
        match shape {
            Shape::Input(idx) => {
                let set = 1 << idx;
                let own = self.conditions.iter().filter(|(needs, _)| *needs == set);
                let plan = match conjunction(own.map(|(_, condition)| condition.clone())) {
                    Some(own) => {
                        LogicalPlan::Filter(Filter::try_new(own, Arc::clone(&self.inputs[*idx]))?)
                    }
                    None => self.inputs[*idx].as_ref().clone(),
                };
                Ok(Built { plan, set })
            }
            Shape::Reduced(input, idx) => {
                let input = self.plan(input)?;
                let join = &self.reducers[*idx].join;
                let reduced = Join::try_new(
                    Arc::new(input.plan),
                    Arc::clone(&join.right),
                    join.on.clone(),
                    join.filter.clone(),
                    join.join_type,
                    join.join_constraint,
                    join.null_equality,
                    join.null_aware,
                )?;
                Ok(Built { plan: LogicalPlan::Join(reduced), set: input.set })
            }
            Shape::Join(left, right) => {
                let (left, right) = (self.plan(left)?, self.plan(right)?);
                let links = self.links(left.set, right.set).into_iter();
                let mut on: Vec<(Expr, Expr)> = links
                    .map(|((_, left), (_, right))| {
                        (Expr::Column(left.clone()), Expr::Column(right.clone()))
                    })
                    .collect();
                for (of_one, one, of_other, other) in &self.edges {
                    if of_one & !left.set == 0 && of_other & !right.set == 0 {
                        on.push((one.clone(), other.clone()));
                    } else if of_one & !right.set == 0 && of_other & !left.set == 0 {
                        on.push((other.clone(), one.clone()));
                    }
                }
                let between = self.conditions_between(left.set, right.set);
                let mut filters: Vec<Expr> =
                    between.map(|(_, condition)| condition.clone()).collect();
                // Equalities whose sides only both together can tell.
                filters.extend(self.edges.iter().filter_map(|(of_one, one, of_other, other)| {
                    let all = of_one | of_other;
                    let is_here = all & !(left.set | right.set) == 0
                        && all & !left.set != 0
                        && all & !right.set != 0
                        && !crosses(*of_one, *of_other, left.set, right.set);
                    is_here.then(|| one.clone().eq(other.clone()))
                }));
                let set = left.set | right.set;
                let joined = Join::try_new(
                    Arc::new(left.plan),
                    Arc::new(right.plan),
                    on,
                    conjunction(filters),
                    JoinType::Inner,
                    JoinConstraint::On,
                    NullEquality::NullEqualsNothing,
                    false,
                )?;
                Ok(Built { plan: LogicalPlan::Join(joined), set })
            }
        }
    }
}

/// Whether one side of an equality lies in one set and the other in the other.
fn crosses(left: Set, right: Set, one: Set, other: Set) -> bool {
    (left & !one == 0 && right & !other == 0) || (left & !other == 0 && right & !one == 0)
}
