/* A static program that looks around inside a container that has no shell.
 *
 *   probe            prints uid, gid, working directory and environment
 *   probe cat P...   prints the files P
 *   probe ls P...    prints type, mode, owner, size and link target of each P
 *   probe try FILE   starts each program named in FILE, one a line, with the
 *                    argument --version, and prints "started P" or
 *                    "failed P: why"; exit code 127 counts as a failed loader
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int identity(void)
{
    char directory[4096];
    size_t count = 0;

    printf("uid=%d gid=%d\n", (int)getuid(), (int)getgid());
    printf("cwd=%s\n", getcwd(directory, sizeof directory) ? directory : "?");
    while (environ[count])
        count++;
    qsort(environ, count, sizeof *environ, compare);
    for (size_t i = 0; i < count; i++)
        printf("env %s\n", environ[i]);
    return 0;
}

static int cat(const char *path)
{
    char buffer[65536];
    size_t length;
    FILE *file = fopen(path, "rb");

    if (!file) {
        printf("cannot read %s: %s\n", path, strerror(errno));
        return 1;
    }
    while ((length = fread(buffer, 1, sizeof buffer, file)) > 0)
        fwrite(buffer, 1, length, stdout);
    fclose(file);
    return 0;
}

static int ls(const char *path)
{
    struct stat status;
    char target[4096] = "";

    if (lstat(path, &status)) {
        printf("cannot stat %s: %s\n", path, strerror(errno));
        return 1;
    }
    if (S_ISLNK(status.st_mode)) {
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length < 0 ? 0 : length] = '\0';
        printf("link %s -> %s\n", path, target);
        return 0;
    }
    printf("%s %04o %d:%d %s\n", S_ISDIR(status.st_mode) ? "dir" : "file",
           (unsigned)status.st_mode & 07777, (int)status.st_uid,
           (int)status.st_gid, path);
    return 0;
}

/* Waits at most three seconds: a program that still runs has started. */
static int finish(pid_t child)
{
    const struct timespec pause = {0, 5 * 1000 * 1000};
    int status = 0;

    for (int i = 0; i < 600; i++) {
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        nanosleep(&pause, NULL);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return 0;
}

static int start(const char *path)
{
    int report[2], error = 0, code;
    pid_t child;

    if (pipe2(report, O_CLOEXEC))
        return 1;
    child = fork();
    if (child < 0)
        return 1;
    if (child == 0) {
        int nothing = open("/dev/null", O_RDWR);
        dup2(nothing, 0);
        dup2(nothing, 1);
        dup2(nothing, 2);
        execl(path, path, "--version", (char *)NULL);
        error = errno;
        if (write(report[1], &error, sizeof error) < 0)
            _exit(126);
        _exit(127);
    }
    close(report[1]);
    if (read(report[0], &error, sizeof error) < (ssize_t)sizeof error)
        error = 0;
    close(report[0]);
    code = finish(child);
    if (error) {
        printf("failed %s: %s\n", path, strerror(error));
        return 1;
    }
    if (code == 127) {
        printf("failed %s: loader\n", path);
        return 1;
    }
    printf("started %s\n", path);
    return 0;
}

static int try_all(const char *list)
{
    char line[4096];
    FILE *file = fopen(list, "r");
    int failed = 0;

    if (!file) {
        printf("cannot read %s: %s\n", list, strerror(errno));
        return 1;
    }
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        failed |= start(line);
        fflush(stdout);
    }
    fclose(file);
    return failed;
}

int main(int count, char **words)
{
    int failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count < 2)
        return identity();
    for (int i = 2; i < count; i++) {
        if (!strcmp(words[1], "cat"))
            failed |= cat(words[i]);
        else if (!strcmp(words[1], "ls"))
            failed |= ls(words[i]);
        else if (!strcmp(words[1], "try"))
            failed |= try_all(words[i]);
        else
            return 2;
    }
    return failed;
}
