//! System calls, by seccomp (kernel documentation, "Seccomp BPF").
//!
//! Two filters, of which the stricter answer counts. One ends the process at a call that no stage has any use for
//! and an intruder has: starting programs, looking into other processes, changing the kernel. The other lets
//! through what is listed, and answers everything else with "operation not permitted", or, in mode `strict`, ends the
//! process too. That a stage lives in mode `strict` under load shows that all of its calls are listed
//! (`postern-e2e/tests/sandbox.rs`).

use super::SandboxError;
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};
use std::collections::BTreeMap;

/// Calls that end the process.
const FATAL: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_acct,
];

/// Calls that go through, whatever their arguments.
const ALLOWED: &[c_long] = &[
    // Sockets and files.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_close,
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_lseek,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_flock,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_getdents64,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_ioctl,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_socketpair,
    libc::SYS_pipe2,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_restart_syscall,
    // Memory and threads.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Older calls, which only this architecture has.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_mkdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_chmod,
    libc::SYS_poll,
    libc::SYS_epoll_wait,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[c_long] = &[];

/// Restricts this thread and those it starts.
pub(super) fn restrict(is_strict: bool) -> Result<(), SandboxError> {
    for program in programs(is_strict).map_err(|error| SandboxError::Seccomp(error.to_string()))? {
        apply_filter(&program).map_err(|error| SandboxError::Seccomp(error.to_string()))?;
    }
    Ok(())
}

/// The filters. The first to be put in place must still let the others in.
fn programs(is_strict: bool) -> Result<[BpfProgram; 3], seccompiler::BackendError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let compile = |rules: BTreeMap<c_long, Vec<SeccompRule>>, mismatch, matched| -> Result<BpfProgram, _> {
        SeccompFilter::new(rules, mismatch, matched, arch)?.try_into()
    };
    let always = |calls: &[c_long]| calls.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = |code: i32| SeccompAction::Errno(code.unsigned_abs());
    let fatal = compile(always(FATAL), SeccompAction::Allow, SeccompAction::KillProcess)?;
    // The C library then takes `clone`, whose flags can be looked at.
    let no_clone3 = compile(
        always(&[libc::SYS_clone3]),
        SeccompAction::Allow,
        refuse(libc::ENOSYS),
    )?;
    let mut allowed: BTreeMap<c_long, Vec<SeccompRule>> = always(ALLOWED);
    allowed.extend(ALLOWED_HERE.iter().map(|call| (*call, Vec::new())));
    allowed.extend(conditional()?);
    // Answered by the filter above; this one must not be stricter about it.
    allowed.insert(libc::SYS_clone3, Vec::new());
    for call in FATAL {
        allowed.insert(*call, Vec::new());
    }
    let unlisted = match is_strict {
        true => SeccompAction::KillProcess,
        false => refuse(libc::EPERM),
    };
    let listed = compile(allowed, unlisted, SeccompAction::Allow)?;
    Ok([fatal, no_clone3, listed])
}

/// Calls that go through with some arguments only.
fn conditional() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, seccompiler::BackendError> {
    let when = |argument, op, value: i32| -> Result<SeccompRule, seccompiler::BackendError> {
        SeccompRule::new(vec![SeccompCondition::new(
            argument,
            Length::Dword,
            op,
            u64::from(value.unsigned_abs()),
        )?])
    };
    let flag = |bits: i32| Op::MaskedEq(u64::from(bits.unsigned_abs()));
    let no_code = |argument| when(argument, flag(libc::PROT_EXEC), 0);
    Ok(BTreeMap::from([
        // Threads, no processes.
        (
            libc::SYS_clone,
            vec![when(0, flag(libc::CLONE_THREAD), libc::CLONE_THREAD)?],
        ),
        // Memory, but none that can be run.
        (libc::SYS_mmap, vec![no_code(2)?]),
        (libc::SYS_mprotect, vec![no_code(2)?]),
        // TCP, UDP for names, and Unix sockets.
        (
            libc::SYS_socket,
            vec![
                when(0, Op::Eq, libc::AF_INET)?,
                when(0, Op::Eq, libc::AF_INET6)?,
                when(0, Op::Eq, libc::AF_UNIX)?,
                when(0, Op::Eq, libc::AF_NETLINK)?,
            ],
        ),
        // A thread's name, and what the filters themselves need.
        (
            libc::SYS_prctl,
            vec![
                when(0, Op::Eq, libc::PR_SET_NAME)?,
                when(0, Op::Eq, libc::PR_SET_VMA)?,
                when(0, Op::Eq, libc::PR_SET_NO_NEW_PRIVS)?,
            ],
        ),
        // Only to itself: a panic aborts.
        (
            libc::SYS_tgkill,
            vec![when(
                0,
                Op::Eq,
                i32::try_from(std::process::id()).unwrap_or(i32::MAX),
            )?],
        ),
        // Asking for limits, not setting them: no new limit is given.
        (
            libc::SYS_prlimit64,
            vec![SeccompRule::new(vec![SeccompCondition::new(
                2,
                Length::Qword,
                Op::Eq,
                0,
            )?])?],
        ),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile_and_no_call_is_both_allowed_and_fatal() {
        assert!(programs(false).is_ok() && programs(true).is_ok());
        let allowed: Vec<_> = ALLOWED.iter().chain(ALLOWED_HERE).collect();
        assert!(FATAL.iter().all(|call| !allowed.contains(&call)));
        let conditional = conditional().unwrap();
        assert!(
            conditional
                .keys()
                .all(|call| !allowed.contains(&call) && !FATAL.contains(call))
        );
    }
}
