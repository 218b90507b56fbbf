//! In which order rows are computed, and how many of each tensor are kept.
//!
//! Every frame is computed from top to bottom, a few rows of each tensor at a time and each as late as possible, so
//! that what is computed is still in the cache when it is read. The order depends on the shape alone and is worked
//! out once.

use std::ops::Range;

/// Rows that most tasks compute at a time; banks share what they load between so many.
pub(super) const BLOCK: usize = 8;

/// What the schedule has to know of one task.
#[derive(Debug)]
pub(super) struct TaskShape {
    /// Tensors read, by number, each with how far above and below.
    pub(super) reads: Vec<Read>,
    /// Tensors made, at least one, all of the same rows.
    pub(super) makes: Vec<usize>,
    /// Rows computed at a time, a multiple of [`BLOCK`].
    pub(super) block: usize,
}

/// The rows of a tensor that a task reads.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) tensor: usize,
    /// For every row of the result the rows read, which may reach above the first or below the last by the rim. Both
    /// ends never fall from one row to the next.
    pub(super) rows: Vec<Range<isize>>,
}

/// How a tensor is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct TensorShape {
    /// Its rows: those of a frame, or of cells.
    pub(super) height: usize,
    /// Rows of zeros above the first and below the last row.
    pub(super) rim: usize,
    /// Whether its rows are what all is for.
    pub(super) wanted: bool,
}

/// One thing to do: compute these rows of what a task makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) task: usize,
    pub(super) rows: Range<usize>,
}

/// The order, and the rows of memory of each tensor that is made, in which a new row takes the place of one that is no
/// longer read.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) steps: Vec<Step>,
    /// By tensor.
    pub(super) capacity: Vec<usize>,
}

/// Tensors while they are computed.
struct State<'a> {
    tasks: &'a [TaskShape],
    tensors: &'a [TensorShape],
    /// Rows done, by task.
    done: Vec<usize>,
    /// By tensor: the row behind the last that is made.
    end: Vec<isize>,
    /// By tensor: the task that makes it, and those that read it.
    makers: Vec<Option<usize>>,
    readers: Vec<Vec<(usize, usize)>>,
    /// By tensor: the most rows held at once.
    needed: Vec<usize>,
    steps: Vec<Step>,
}

/// Work out the order. `tasks` stand in an order in which each can be computed.
pub(super) fn schedule(tasks: &[TaskShape], tensors: &[TensorShape]) -> Schedule {
    let (steps, needed) = State::new(tasks, tensors).run();
    let rows = needed.iter().zip(tensors).map(|(needed, tensor)| {
        let all = tensor.height + 2 * tensor.rim;
        // Whole blocks, so that none of them goes over the end.
        needed.next_multiple_of(BLOCK).min(all + tensor.rim.next_multiple_of(BLOCK) - tensor.rim)
    });
    Schedule { steps, capacity: rows.collect() }
}

impl<'a> State<'a> {
    fn new(tasks: &'a [TaskShape], tensors: &'a [TensorShape]) -> Self {
        let mut readers = vec![Vec::new(); tensors.len()];
        for (t, task) in tasks.iter().enumerate() {
            for (r, read) in task.reads.iter().enumerate() {
                readers[read.tensor].push((t, r));
            }
        }
        let maker = |tensor| tasks.iter().position(|t| t.makes.contains(&tensor));
        Self {
            tasks,
            tensors,
            done: vec![0; tasks.len()],
            end: vec![0; tensors.len()],
            makers: (0..tensors.len()).map(maker).collect(),
            readers,
            needed: vec![0; tensors.len()],
            steps: Vec::new(),
        }
    }

    /// The steps of a frame, and the most rows that each tensor holds at once.
    fn run(mut self) -> (Vec<Step>, Vec<usize>) {
        let wanted: Vec<usize> =
            (0..self.tasks.len()).filter(|t| self.tasks[*t].makes.iter().any(|m| self.tensors[*m].wanted)).collect();
        let height = wanted.iter().map(|task| self.height(*task)).max().unwrap_or(0);
        for target in (0..height).step_by(BLOCK).map(|y| (y + BLOCK).min(height)) {
            for &task in &wanted {
                self.compute(task, target.min(self.height(task)));
            }
        }
        (self.steps, self.needed)
    }

    /// Rows of what a task makes.
    fn height(&self, task: usize) -> usize {
        self.tasks[task].makes.first().map_or(0, |tensor| self.tensors[*tensor].height)
    }

    /// Compute the rows of a task up to `target`, each block right after what it reads.
    fn compute(&mut self, task: usize, target: usize) {
        let height = self.height(task);
        while self.done[task] < target {
            let rows = self.done[task]..(self.done[task] + self.tasks[task].block).min(height);
            for read in &self.tasks[task].reads {
                let end =
                    usize::try_from(read.rows[rows.end - 1].end).unwrap_or(0).min(self.tensors[read.tensor].height);
                // Tensors that are given have no maker.
                if let Some(maker) = self.makers[read.tensor] {
                    self.compute(maker, end);
                }
            }
            for &tensor in &self.tasks[task].makes {
                let rim = if rows.end == height { self.tensors[tensor].rim } else { 0 };
                let end = (rows.end + rim).cast_signed();
                let kept = self.kept(tensor);
                // A block that the frame's end cuts short has its whole place.
                let behind = end.unsigned_abs().next_multiple_of(BLOCK).cast_signed();
                self.needed[tensor] = self.needed[tensor].max((behind - kept).unsigned_abs());
                self.end[tensor] = end;
            }
            self.done[task] = rows.end;
            self.steps.push(Step { task, rows });
        }
    }

    /// The first row of a tensor that is still to be read.
    fn kept(&self, tensor: usize) -> isize {
        let next = |(task, read): &(usize, usize)| {
            let rows = &self.tasks[*task].reads[*read].rows;
            rows.get(self.done[*task]).map(|r| r.start)
        };
        let (top, end) = (-self.tensors[tensor].rim.cast_signed(), self.end[tensor]);
        self.readers[tensor].iter().filter_map(next).min().unwrap_or(end).clamp(top, end.max(top))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a task of a chain does with the rows of the tensor before.
    #[derive(Clone, Copy, Debug)]
    enum Link {
        /// Reads so many rows above and below.
        Window(usize),
        /// Makes one row of two.
        Halve,
        /// Makes the rows back that were halved.
        Double,
    }

    /// Windows of these reaches, of which those in `halved` work at half the height.
    fn links(reaches: &[usize], halved: Range<usize>) -> Vec<Link> {
        let mut links: Vec<Link> = reaches.iter().map(|r| Link::Window(*r)).collect();
        let (from, to) = (halved.start.min(links.len()), halved.end.min(links.len()));
        if from < to {
            links.insert(to, Link::Double);
            links.insert(from, Link::Halve);
        }
        links
    }

    /// A chain of tasks, each reading the last tensor and, where it has as many rows, the first one as it stands.
    fn chain(height: usize, links: &[Link], rims: bool, blocks: &[usize]) -> (Vec<TaskShape>, Vec<TensorShape>) {
        let window = |height: usize, reach: usize, rim: bool| -> Vec<Range<isize>> {
            let (n, r) = (height.cast_signed(), reach.cast_signed());
            let clip = |y: isize| if rim { y } else { y.clamp(0, n) };
            (0..n).map(|y| clip(y - r)..clip(y + r + 1)).collect()
        };
        let signed = |rows: Range<usize>| rows.start.cast_signed()..rows.end.cast_signed();
        let (mut tasks, mut heights) = (Vec::new(), vec![height]);
        for (i, link) in links.iter().enumerate() {
            let (before, mut reads) = (heights[i], Vec::new());
            let (own, rows) = match link {
                Link::Window(reach) => (before, window(before, *reach, rims)),
                Link::Halve => {
                    let own = before.div_ceil(2);
                    (own, (0..own).map(|y| signed(2 * y..(2 * y + 2).min(before))).collect())
                }
                Link::Double => (height, (0..height).map(|y| signed(y / 2..y / 2 + 1)).collect()),
            };
            reads.push(Read { tensor: i, rows });
            if own == height {
                reads.push(Read { tensor: 0, rows: window(height, 0, false) });
            }
            tasks.push(TaskShape { reads, makes: vec![i + 1], block: blocks[i % blocks.len()] });
            heights.push(own);
        }
        let tensors = heights
            .iter()
            .enumerate()
            .map(|(i, height)| TensorShape {
                height: *height,
                rim: match links.get(i) {
                    Some(Link::Window(reach)) if rims => *reach,
                    _ => 0,
                },
                wanted: i == links.len(),
            })
            .collect();
        (tasks, tensors)
    }

    proptest! {
        /// Every row is computed once, after all that it reads and while that is in memory, which is never exceeded.
        #[test]
        fn rows_are_there_when_they_are_read(
            height in 1usize..200,
            reaches in prop::collection::vec(0usize..30, 1..6),
            halved in (0usize..6, 0usize..6),
            rims in any::<bool>(),
            blocks in prop::collection::vec((1usize..5).prop_map(|n| n * BLOCK), 1..6),
        ) {
            let (tasks, tensors) = chain(height, &links(&reaches, halved.0..halved.1), rims, &blocks);
            let Schedule { steps, capacity } = schedule(&tasks, &tensors);
            let mut end = vec![0; tensors.len()];
            let mut done = vec![0; tasks.len()];
            for Step { task, rows } in steps {
                prop_assert_eq!(rows.start, done[task]);
                done[task] = rows.end;
                for read in &tasks[task].reads {
                    let t = read.tensor;
                    if t > 0 {
                        let needs = read.rows[rows.start].start..read.rows[rows.end - 1].end;
                        prop_assert!(needs.start >= -tensors[t].rim.cast_signed() && needs.end <= end[t]);
                        prop_assert!(end[t] - needs.start <= capacity[t].cast_signed());
                        // Where rows share places, the newest block may have been written to its end.
                        let newest = end[t].unsigned_abs().next_multiple_of(BLOCK).cast_signed();
                        let whole = tensors[t].height + 2 * tensors[t].rim;
                        prop_assert!(newest - needs.start <= capacity[t].cast_signed() || capacity[t] >= whole);
                    }
                }
                for made in &tasks[task].makes {
                    prop_assert!(rows.end <= tensors[*made].height);
                    let rim = if rows.end == tensors[*made].height { tensors[*made].rim } else { 0 };
                    end[*made] = (rows.end + rim).cast_signed();
                }
            }
            for (task, done) in tasks.iter().zip(done) {
                prop_assert_eq!(done, tensors[task.makes[0]].height);
            }
        }
    }

    #[test]
    fn memory_does_not_grow_with_the_frame() {
        for halved in [0..0, 1..3] {
            let links = links(&[16, 8, 1], halved);
            let capacity = |height| {
                let (tasks, tensors) = chain(height, &links, true, &[BLOCK, 2 * BLOCK]);
                schedule(&tasks, &tensors).capacity
            };
            assert_eq!(capacity(504), capacity(5016));
        }
    }
}
