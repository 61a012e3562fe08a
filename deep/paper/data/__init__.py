"""The data of 5.2, 5.3, H.2 and H.3: sets of images and texts, read from where people have them and checked."""
