/* Names in a store's directory. Only for the files of this folder. */
#ifndef LEAT_STORE_PATH_H
#define LEAT_STORE_PATH_H

/* `directory`/`name`; the caller's to free. Ends the process when memory is out. */
char *leat_store_path(const char *directory, const char *name);

/* Makes what was named in a directory, renamed or removed durable. 0 or an errno. */
int leat_store_flush_directory(const char *path);

#endif
