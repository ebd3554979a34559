"""Wrong answers to the exercises of lesson 24."""

SEEN = "seen = {(video, first + t) for video, first in training for t in range(lengths[0])}\n"

WRONG = {
    "24.1": ["return psnr - 10 * np.log10(share)", "return psnr * share", "return psnr"],
    "24.2": ["found = []\nfor frames in given:\n"
             "    nearest = ((library[:, GIVEN:] - frames) ** 2).sum(axis=(1, 2, 3, 4)).argmin()\n"
             "    found.append(library[nearest, GIVEN:])\nreturn np.stack(found)",
             "found = []\nfor frames in given:\n"
             "    nearest = ((library[:, :GIVEN] - frames) ** 2).sum(axis=(1, 2, 3, 4)).argmin()\n"
             "    found.append(library[nearest, :GIVEN])\nreturn np.stack(found)",
             "found = []\nfor frames in given:\n"
             "    nearest = (library[:, :GIVEN] - frames).sum(axis=(1, 2, 3, 4)).argmin()\n"
             "    found.append(library[nearest, GIVEN:])\nreturn np.stack(found)"],
    "24.3": ["return float(np.mean([window in training for window in test]))",  # only windows that are the same
             SEEN + "return float(np.mean([any((video, first + t) in seen for t in range(lengths[1])) "
                    "for video, first in test]))",  # windows that share something
             "seen = {first + t for _, first in training for t in range(lengths[0])}\n"
             "return float(np.mean([first + t in seen for _, first in test for t in range(lengths[1])]))",
             SEEN + "return float(np.mean([(video, first + t) in seen for video, first in test "
                    "for t in range(lengths[0])]))"],
}
