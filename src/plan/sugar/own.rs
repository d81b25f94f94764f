//! Walks over the expressions of a part of a statement, without those of its subqueries: these have tables,
//! windows and groups of their own.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, Visit, VisitMut, Visitor, VisitorMut};

/// Whether there is an expression for which `is_wanted` holds; from the outside in, up to the first.
pub(super) fn has_own(part: &impl Visit, is_wanted: impl FnMut(&Expr) -> bool) -> bool {
    struct Finder<F>(F, usize);
    impl<F: FnMut(&Expr) -> bool> Visitor for Finder<F> {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.1 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.1 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if self.1 == 0 && (self.0)(expr) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }
    }
    part.visit(&mut Finder(is_wanted, 0)).is_break()
}

/// Changes each expression, from the inside out, up to the first error.
pub(super) fn change_own<E>(
    part: &mut impl VisitMut,
    change: impl FnMut(&mut Expr) -> Result<(), E>,
) -> Result<(), E> {
    struct Changer<F, E>(F, usize, std::marker::PhantomData<E>);
    impl<E, F: FnMut(&mut Expr) -> Result<(), E>> VisitorMut for Changer<F, E> {
        type Break = E;
        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<E> {
            self.1 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<E> {
            self.1 -= 1;
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<E> {
            match if self.1 == 0 { (self.0)(expr) } else { Ok(()) } {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        }
    }
    match part.visit(&mut Changer(change, 0, std::marker::PhantomData)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}
